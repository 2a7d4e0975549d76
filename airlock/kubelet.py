"""What a kubelet says of a container that it has not started."""

import re

PASSING = re.compile("failed to sync|timed out waiting")
"""It has not read a secret yet, and tries again."""
