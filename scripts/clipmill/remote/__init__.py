"""Ground: files at addresses (`s3://`, `gs://`, `az://`, `https://`, `http://`, `hf://`). Knows no video.

`addresses` reads an address, `hosts` says which of them a run may reach, and `files` lists, reads and writes. Behind it
`buckets` speaks to object storage, `web` speaks HTTP, and `hub` knows the addresses of the Hugging Face hub.
"""
