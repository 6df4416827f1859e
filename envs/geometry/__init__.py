"""Plain data of a place: scenes, grids, fields, routes, meshes, cameras."""
