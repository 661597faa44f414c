package sql

// sqliteHarmless are functions of https://www.sqlite.org/lang_corefunc.html and
// its neighbours, and of the extensions that most builds have.
var sqliteHarmless = set(`
	abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like likelihood likely
	lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign soundex
	sqlite_compileoption_get sqlite_compileoption_used sqlite_source_id sqlite_version substr substring total_changes trim typeof
	unhex unicode unistr unistr_quote unlikely upper zeroblob subtype
	date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp
	avg count group_concat string_agg sum total median percentile percentile_cont percentile_disc
	row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
	acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power radians
	sin sinh sqrt tan tanh trunc
	json jsonb json_array jsonb_array json_array_insert jsonb_array_insert json_array_length json_error_position json_extract jsonb_extract json_insert jsonb_insert
	json_object jsonb_object json_patch jsonb_patch json_pretty json_remove jsonb_remove json_replace jsonb_replace
	json_set jsonb_set json_type json_valid json_quote json_group_array jsonb_group_array json_group_object jsonb_group_object
	json_each json_tree jsonb_each jsonb_tree generate_series regexp regexp_like regexpi
	bm25 highlight snippet matchinfo offsets match`)

// sqliteDangerous are functions. load_extension runs a library; readfile,
// writefile and edit are the command line's; eval and sha3_query run SQL;
// fts3_tokenizer took an address.
var sqliteDangerous = set(`
	load_extension readfile writefile edit lsmode fts3_tokenizer eval exec define undefine sha3_query optimize csv vsv
	text_read lsfile system shell sqlcipher_export install_extension icu_load_collation blobfromfile blobtofile
	sqlite_log writestatement xb_create xb_loadxml exec_sql`)

// sqliteModules are there as tables without being made: fsdir and lsdir list
// files and read them, zipfile and lines_read read them, sqlite_dbpage is the
// database file itself. They take their arguments in brackets or in the WHERE.
var sqliteModules = set(`fsdir lsdir zipfile lines_read fileio_ls fileio_scan http_get http_post http_do
	sqlite_dbpage sqlite_dbdata sqlite_dbptr`)

// Of the command line, of the sqlean and http extensions, and of spatialite.
var sqliteDangerousPrefixes = []string{"fileio_", "http_", "shell_", "import", "export", "define_", "net_", "socket_"}

// sqlitePragmas only tell, whatever their argument.
var sqlitePragmas = set(`table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list
	foreign_key_check database_list collation_list function_list module_list pragma_list compile_options`)

// sqliteSettings tell when they have no argument, and set when they have one.
var sqliteSettings = set(`user_version schema_version application_id page_count page_size max_page_count freelist_count
	encoding foreign_keys journal_mode synchronous auto_vacuum cache_size busy_timeout recursive_triggers query_only
	data_version`)
