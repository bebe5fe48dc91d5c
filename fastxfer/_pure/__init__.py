"""Pure-Python twins of the compiled modules: their specification and their portable fallback."""
