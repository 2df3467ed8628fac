"""Station 2b, only with `split.detector: transnetv2`: miniatures → how surely each frame belongs to a transition."""
