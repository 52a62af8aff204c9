"""The Autobahn TestSuite, run against this package on every loop, as a server and as a client."""
