"""What needs curl and openssl: a worker that is a script of the shell."""
