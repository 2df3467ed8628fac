"""
in:  where Snakemake has this file from; the workflow that uses clipmill as a module, if one does
out: HERE, clipmill's folder on this machine; `rule_name`; functions that make a module run as clipmill itself does
"""

import copy
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.sourcecache import HostingProviderFile, LocalGitFile
from snakemake.utils import update_config

# Whether another workflow uses clipmill: `module clipmill: …`.
IS_MODULE = not workflow.modifier.is_main_snakefile()
# The name of one of clipmill's rules in the whole workflow; None if the workflow does not have it. After
# `use rule * from clipmill as clipmill_*` each has a prefix. A later `use rule` knows of its own rules alone.
rule_name = getattr(workflow, "rule_name_of_clipmill", workflow.modifier.avail_rulename)


def folder_on_disk(rules_folder):
    """clipmill's folder. Of a module from a git repository Snakemake has no files, so those of its commit are unpacked."""
    if isinstance(rules_folder, HostingProviderFile):
        clone = rules_folder.hosted_repo.repo_clone
    elif isinstance(rules_folder, LocalGitFile):
        clone = rules_folder.repo_path
    else:
        return Path(rules_folder).parent
    git = ("git", "-C", str(clone))
    commit = subprocess.check_output(
        [*git, "rev-parse", f"{rules_folder.ref}^{{commit}}"], text=True
    ).strip()
    unpacked = Path(workflow.sourcecache.cache_path) / "clipmill" / commit
    if not unpacked.exists():
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        files = subprocess.check_output([*git, "archive", commit, "config", "scripts"])
        with tempfile.TemporaryDirectory(dir=unpacked.parent) as beside:
            with tarfile.open(fileobj=io.BytesIO(files)) as archive:
                archive.extractall(f"{beside}/whole", filter="data")
            try:
                os.rename(f"{beside}/whole", unpacked)
            except OSError:
                # Another process was first.
                if not unpacked.exists():
                    raise
    return unpacked


HERE = folder_on_disk(workflow.current_basedir)


def with_defaults(given):
    """The config that a workflow gives its module, over the defaults: Snakemake then reads no `configfile` of a module."""
    whole = load_configfile(str(HERE / "config" / "config.yaml"))
    update_config(whole, copy.deepcopy(given))
    return whole


def follows_command_line():
    """Whether `--config` speaks of this config. It does not where a workflow gives its module a part of its own."""
    of_workflow = workflow.modifier_stack[0].globals["config"]
    return config is of_workflow or not workflow.modifier.skip_configfile


def begin_module():
    """Whether Snakemake reads this module for the first time: it does so again for each `use rule`.

    The settings reach the jobs by the environment, which all modules of a workflow share: two configs end the start. So
    does a `prefix` of paths, of which the tools would not know.
    """
    folder = f"{config['outdir']}/work"
    if workflow.modifier.path_modifier.replace_prefix(folder, None) != folder:
        sys.exit(
            "clipmill takes no `prefix` or `replace_prefix` of a module; name the folder in its config (outdir)"
        )
    if hasattr(workflow, "config_of_clipmill"):
        if workflow.config_of_clipmill != config:
            sys.exit(
                "clipmill is used twice in this workflow, with different configs; start Snakemake once for each of them"
            )
        return False
    workflow.config_of_clipmill = copy.deepcopy(config)
    workflow.rule_name_of_clipmill = rule_name
    return True
