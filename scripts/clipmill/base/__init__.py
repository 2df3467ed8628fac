"""How any job works safely: errors, files, locks, journals, worker processes. Knows no video."""
