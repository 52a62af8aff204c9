"""A chat room that is complete enough to be used, and short enough to be read: what ``autobahnlike demo`` serves."""
