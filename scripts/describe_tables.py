"""Print docs/tables.md from the definitions of the tables."""

from clipmill.store import tables

HEAD = """# Tables

Made from `scripts/clipmill/store/tables.py` by `python scripts/describe_tables.py > docs/tables.md`; a test keeps them
equal.

All tables are Parquet but `errors.csv` and the `.jsonl` twin of the metadata. Paths are below `outdir`. Times are
presentation times in seconds on a clock that starts with the video's first frame. A value that was not computed is
missing, never 0. How a table was made (settings, model, version) stands in its Parquet metadata under `clipmill`.
"""


def main() -> None:
    print(HEAD)
    for table in tables.ALL:
        print(f"## {table.name}\n\n`{table.path}`: one row per {table.row}.\n")
        print("| column | type | unit | meaning |\n| --- | --- | --- | --- |")
        for column in table.columns:
            print(f"| `{column.name}` | {column.type} | {column.unit} | {column.meaning} |")
        print()


if __name__ == "__main__":
    main()
