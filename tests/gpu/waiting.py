"""Leases a GPU, and says meanwhile what it waits for: a second job beside the one of a test."""

import logging
import sys

from clipmill.models import leases

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
with leases.lease(1):
    print("leased", flush=True)
