"""Applications that are made with other frameworks, as their own documents make them."""
