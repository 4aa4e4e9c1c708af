"""What the tests break things with: a node that does as told, a proxy that lies and loses, a process that dies."""
