-- After a frame that died of memory: the layer asks for more from now on, never for less.
UPDATE layer SET int_mem_min = $2 WHERE pk_layer = $1 AND int_mem_min < $2
