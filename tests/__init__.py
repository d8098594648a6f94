"""The tests: one module a promise, and the corpora of programs that they are about."""
