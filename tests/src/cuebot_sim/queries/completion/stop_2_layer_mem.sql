-- Stopping a frame, step 2: the most memory that the layer was seen to use.
UPDATE layer_mem SET int_max_rss = $2 WHERE pk_layer = $1 AND int_max_rss < $2
