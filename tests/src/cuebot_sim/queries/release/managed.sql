SELECT b_scheduler_managed FROM show WHERE pk_show = $1
