"""The results as pages: static, from the records alone, without a server or another host."""
