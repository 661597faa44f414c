package sql

// postgresHarmless are functions of https://www.postgresql.org/docs/17/functions.html
// that compute from their arguments or tell of the catalogue, and the names that
// the parser gives to what SQL writes as syntax (EXTRACT, OVERLAY, AT TIME ZONE).
var postgresHarmless = set(`
	abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees div
	erf erfc exp factorial floor gcd lcm ln log log10 min_scale mod pi pow power radians random random_normal round scale
	sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket greatest least
	ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from convert_to decode
	encode format initcap is_normalized normalize left length like_escape lower lpad ltrim md5 octet_length overlay parse_ident
	position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches
	regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim
	similar_escape similar_to_escape split_part starts_with string_to_array string_to_table strpos substr substring text
	to_ascii to_bin to_hex to_oct translate trim unicode_version unistr upper unicode_assigned
	bit_count get_bit get_byte set_bit set_byte sha224 sha256 sha384 sha512 crc32 crc32c reverse_bytes
	to_char to_date to_number to_timestamp
	age clock_timestamp current_date date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
	justify_hours justify_interval localtime localtimestamp make_date make_interval make_time make_timestamp make_timestamptz
	now overlaps statement_timestamp timeofday timezone transaction_timestamp timestamp timestamptz interval time
	enum_first enum_last enum_range
	area box center circle diagonal diameter height isclosed isopen line lseg npoints path pclose point polygon popen radius
	slope width
	abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen macaddr8_set7bit
	get_current_ts_config numnode plainto_tsquery phraseto_tsquery querytree setweight strip to_tsquery to_tsvector
	json_to_tsvector jsonb_to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase
	tsvector_to_array array_to_tsvector websearch_to_tsquery ts_debug ts_lexize ts_parse ts_token_type
	similarity word_similarity strict_word_similarity show_trgm unaccent levenshtein soundex metaphone dmetaphone difference
	gen_random_uuid uuidv4 uuidv7 uuid_generate_v4 uuid_extract_timestamp uuid_extract_version
	to_json to_jsonb array_to_json row_to_json json_build_array jsonb_build_array json_build_object jsonb_build_object
	json_object jsonb_object json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text
	json_array_length jsonb_array_length json_each jsonb_each json_each_text jsonb_each_text json_extract_path
	jsonb_extract_path json_extract_path_text jsonb_extract_path_text json_object_keys jsonb_object_keys
	json_populate_record jsonb_populate_record json_populate_recordset jsonb_populate_recordset json_to_record
	jsonb_to_record json_to_recordset jsonb_to_recordset jsonb_set jsonb_set_lax jsonb_insert json_strip_nulls
	jsonb_strip_nulls jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first
	jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_tz jsonb_path_query_array_tz jsonb_path_query_first_tz
	jsonb_pretty json_typeof jsonb_typeof xmlcomment xmlconcat xpath xpath_exists xml_is_well_formed xmlexists xmlagg xmltext
	coalesce nullif num_nonnulls num_nulls
	array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
	array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string array_upper
	cardinality trim_array unnest
	isempty lower_inc lower_inf upper_inc upper_inf range_merge multirange int4range int8range numrange tsrange tstzrange
	daterange int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange
	any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or count every json_agg json_objectagg json_object_agg
	json_object_agg_strict json_object_agg_unique json_arrayagg json_agg_strict jsonb_agg jsonb_agg_strict jsonb_object_agg
	jsonb_object_agg_strict max min range_agg range_intersect_agg string_agg sum corr covar_pop covar_samp regr_avgx
	regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp
	var_pop var_samp variance mode percentile_cont percentile_disc rank dense_rank percent_rank cume_dist grouping
	row_number ntile lag lead first_value last_value nth_value
	generate_series generate_subscripts
	current_catalog current_database current_query current_role current_schema current_schemas current_user session_user
	system_user user version pg_backend_pid pg_postmaster_start_time pg_conf_load_time pg_is_in_recovery inet_client_addr
	inet_server_addr inet_server_port current_setting row_security_active
	has_any_column_privilege has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege
	has_function_privilege has_language_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege
	has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege pg_has_role
	pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_opclass_is_visible pg_operator_is_visible
	format_type to_regclass to_regproc to_regprocedure to_regtype to_regrole to_regnamespace to_regoper to_regcollation
	pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_function_arguments
	pg_get_function_identity_arguments pg_get_function_result pg_get_indexdef pg_get_keywords pg_get_partkeydef
	pg_get_partition_constraintdef pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef pg_get_triggerdef
	pg_get_userbyid pg_get_viewdef pg_index_column_has_property pg_index_has_property pg_indexam_has_property
	pg_options_to_table pg_typeof pg_basetype pg_collation_for pg_char_to_encoding pg_encoding_to_char
	pg_describe_object pg_identify_object col_description obj_description shobj_description
	pg_column_size pg_column_compression pg_database_size pg_indexes_size pg_relation_size pg_size_bytes pg_size_pretty
	pg_table_size pg_tablespace_size pg_total_relation_size pg_partition_tree pg_partition_ancestors pg_partition_root
	pg_relation_is_updatable pg_blocking_pids pg_stat_get_numscans pg_get_replica_identity_index pg_relation_is_publishable
	pg_sequence_parameters aclexplode makeaclitem acldefault pg_is_other_temp_schema pg_my_temp_schema`)

// postgresDangerous are functions of the server and its extensions. Those that run
// SQL their argument holds (query_to_xml, ts_stat, ts_rewrite, crosstab …) pass by
// every check of a tree; large objects read and write files of the server; the
// rest changes the server, another session, or waits.
var postgresDangerous = set(`
	lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_import_with_oid lo_lseek lo_lseek64 lo_manage
	lo_open lo_put lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink loread lowrite
	set_config query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema table_to_xml
	table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema
	database_to_xml database_to_xmlschema database_to_xml_and_xmlschema
	ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table xslt_process
	pg_stat_file pg_notify pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old
	pg_switch_wal pg_switch_xlog pg_promote pg_current_logfile pg_hba_file_rules pg_ident_file_mappings
	pg_show_all_file_settings pg_config pg_export_snapshot pg_import_system_collations pg_nextoid
	pg_log_backend_memory_contexts pg_log_standby_snapshot pg_stat_statements_reset pg_prewarm pg_buffercache_evict
	pg_extension_config_dump pg_start_backup pg_stop_backup pg_backup_start pg_backup_stop
	pg_set_attribute_stats pg_clear_attribute_stats pg_restore_attribute_stats pg_restore_relation_stats
	pg_set_relation_stats pg_clear_relation_stats pg_truncate_visibility_map pg_surgery
	gin_clean_pending_list brin_summarize_new_values brin_summarize_range brin_desummarize_range
	currtid currtid2 txid_current pg_current_xact_id copy_from_program`)

var postgresDangerousPrefixes = []string{
	"pg_read_", "pg_ls_", "pg_file_", "pg_logdir_", "pg_sleep", "pg_advisory_", "pg_try_advisory_", "pg_stat_reset",
	"pg_logical_", "pg_replication_", "pg_create_", "pg_drop_", "pg_copy_", "pg_wal_replay_", "pg_sync_", "pg_wal_summary",
	"pg_execute_server_program", "pg_write_server_files", "pg_read_server_files", "binary_upgrade_", "dblink",
	"heap_force_", "pg_get_wal_", "pg_walfile", "pg_background_", "postgres_fdw_",
}

// postgresExtensionPrefixes are of extensions that reach other machines or run code.
var postgresExtensionPrefixes = []string{"cron_", "http_", "plpy_", "aws_", "exec_"}
