"""What tests of applications need: a client in memory and a server in a process of its own."""
