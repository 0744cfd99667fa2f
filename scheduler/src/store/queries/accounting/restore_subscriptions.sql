-- Second half of accounting/set_subscriptions. $1 keys.
UPDATE subscription SET int_burst = ~int_burst WHERE pk_subscription = ANY($1)
