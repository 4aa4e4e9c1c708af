"""Jobs: the pure rules and the world wired into steps that can be run again at any time and do nothing twice."""
