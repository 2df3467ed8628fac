"""Station 6: kept clips lose their duplicates, and those beyond a limit. Only if the config asks for it."""
