"""Station 1b, only for videos that are no files of their own: they are brought to a folder, where others open them.

`files.LocalFiles` is what other stations use. Each kind of `origin` has a module here of its name, with a function

    fetch(videos, arriving) -> iterator of (video, error)

It brings `videos`, rows of the index of its kind, in whatever order and number at once is best for it, and yields each
of them with its ItemError, or with None when its file is there. `arriving(video)` is a context manager that gives the
path to write a video's bytes to. When it closes, the file has the size that the index says, or an ItemError is raised.
"""
