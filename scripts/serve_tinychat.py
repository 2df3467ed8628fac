"""Serve VILA1.5-AWQ by OpenAI's chat protocol: an adapter for the worker of TinyChat (mit-han-lab/llm-awq)."""

import argparse

from clipmill.base.errors import SetupError
from clipmill.cli import run_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--worker", default="http://127.0.0.1:40000", help="address of the worker")
    parser.add_argument("--model", default="VILA1.5-40b-AWQ", help="name to serve it under")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; whoever reaches it needs no key")
    parser.add_argument("--port", type=int, default=8001, help="port to listen on")
    parser.add_argument("--places", type=int, default=8, help="questions that are asked or wait at the same time")
    parser.add_argument("--timeout-seconds", type=float, default=600, help="for one answer of the worker")
    args = parser.parse_args()
    if args.places < 1 or args.timeout_seconds <= 0:
        parser.error("--places and --timeout-seconds must be more than zero")
    try:
        from clipmill.extras.tinychat.server import Adapter, serve
    except ModuleNotFoundError as error:
        raise SetupError(f"the package `{error.name}` is not installed; run `make tinychat`") from error
    serve(Adapter(args.worker, args.model, args.places, args.timeout_seconds), args.host, args.port)


if __name__ == "__main__":
    run_step(main)
