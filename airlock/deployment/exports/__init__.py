"""An approved release for places where Airlock is not: a device, a C++ program, a cluster that somebody else runs."""
