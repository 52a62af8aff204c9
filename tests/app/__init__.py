"""Applications written as coroutines, run as asyncio tasks and without asyncio."""
