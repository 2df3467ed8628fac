"""A disk that is full when a file is to get its last name; Python imports this module by itself from PYTHONPATH.

The first rename to a path that ends in $RENAME_FAILS goes wrong, and no other: the file $RENAME_FAILED then says so.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

_replace, _ending, _said = os.replace, os.environ["RENAME_FAILS"], Path(os.environ["RENAME_FAILED"])


def replace(source, target, **options):
    if str(target).endswith(_ending):
        with suppress(FileExistsError):
            _said.touch(exist_ok=False)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    return _replace(source, target, **options)


os.replace = replace
