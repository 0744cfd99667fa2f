-- Cuebot's booking, step 3: a start after a failure that counts is a retry.
UPDATE frame SET int_retries = int_retries + 1
WHERE pk_frame = $1 AND int_exit_status NOT IN (-1, 256, 286, 299, 301, 302, 399)
