"""The proxy for programmes that send to API Gateway."""
