"""Station 11, only with `export.upload`: the dataset is sent to a bucket or to the Hugging Face hub.

`dataset` decides what is sent and in which order. `bucket` and `hub` are the two places, see `dataset.Place`.
"""
