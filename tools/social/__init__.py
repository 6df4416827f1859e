"""Makes the suite `social`: places of triangles, and situations with people who have a script."""
