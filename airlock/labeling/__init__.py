"""Labels from people: choosing what to ask, handing it to Label Studio, and making sense of the answers."""
