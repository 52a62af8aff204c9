"""Other people's applications on our server, and our applications on other people's servers."""
