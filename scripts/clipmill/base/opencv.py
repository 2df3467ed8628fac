"""OpenCV with one thread. Import `cv2` from here.

A forked worker would wait for ever for the threads that OpenCV started in its parent. Jobs use more cores by starting
more workers.
"""

import cv2

cv2.setNumThreads(1)

__all__ = ["cv2"]
