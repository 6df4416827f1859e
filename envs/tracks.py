"""temporary"""
def read_tracks(p): raise NotImplementedError
def replay(*a): raise NotImplementedError
