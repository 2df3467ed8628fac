"""Lets vLLM's own processes import torchvision beside a torch without CUDA. Python runs this at each start."""

import sys


class _BeforeTorchvision:
    """Declares the operators that torchvision misses, at the moment when it is imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            from clipmill.models.torchvision_ops import declare_missing_operators

            declare_missing_operators()


sys.meta_path.insert(0, _BeforeTorchvision())
