"""What a user's SQL may name: tables, functions, types. Anything that is not here is refused.

A function belongs here if it computes from its arguments alone and takes no name of a table, dictionary,
setting, file or other function in a string. So `arrayReduce`, `dictGet`, `file`, `getSetting`, `hostName`,
`joinGet`, `sleep` and their like stay out.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


TABLES = frozenset(
    {
        "activity",
        "agents",
        "dead_letters",
        "events",
        "files",
        "gaps",
        "latency",
        "runs",
        "run_states",
        "sessions",
        "transfers",
    }
)
"""Each has a column `project_id`, by which rows are filtered."""
TABLES_OF_ADMINS = TABLES | {"audit"}
"""Who read, and who was refused, is told to those alone who may do everything."""

_AGGREGATES = words(
    """
    any anylast anyheavy argmax argmin avg avgweighted corr count covarpop covarsamp entropy
    first_value grouparray grouparraysorted groupbitand groupbitor groupbitxor groupuniqarray kurtpop
    kurtsamp last_value max maxmap median medianexact min minmap quantile quantileexact quantiles
    quantilesexact quantiletdigest quantilestdigest quantiletiming simplelinearregression skewpop
    skewsamp stddevpop stddevsamp stddev sum summap sumkahan sumwithoverflow topk topkweighted uniq
    uniqcombined uniqcombined64 uniqexact uniqhll12 uniqthetasketch varpop varsamp variance windowfunnel
    sequencecount sequencematch retention histogram deltasum boundingratio
    """
)
_COMBINATORS = ("if", "array", "distinct", "merge", "ornull", "ordefault")

_FUNCTIONS = words(
    """
    abs accuratecast accuratecastornull array arrayall arrayavg arraycompact arrayconcat arraycount
    arraycumsum arraydifference arraydistinct arrayelement arrayenumerate arrayexists arrayfill
    arrayfilter arrayfirst arrayfirstindex arrayflatten arrayintersect arrayjoin arraylast arraymap
    arraymax arraymin arraypopback arraypopfront arrayproduct arraypushback arraypushfront arrayresize
    arrayreverse arrayreversesort arrayslice arraysort arraystringconcat arraysum arrayuniq arrayzip
    assumenotnull base64decode base64encode basename bitand bitcount bitnot bitor bitshiftleft
    bitshiftright bittest bitxor cast cbrt ceil ceiling char char_length character_length cityhash64
    coalesce concat concatwithseparator concat_ws contains cos countequal countsubstrings
    countsubstringscaseinsensitive crc32 current_date current_timestamp currentdate curdate cutfragment
    cutquerystring cuttofirstsignificantsubdomain date date_add date_diff date_sub date_trunc dateadd
    datediff datename datesub datetrunc day dayofmonth dayofweek dayofyear dense_rank domain
    editdistance empty endswith equals exp exp10 exp2 extract extractall extractallgroups
    extractgroups extracturlparameter farmhash64 firstsignificantsubdomain flatten floor
    formatdatetime formatreadabledecimalsize formatreadablequantity formatreadablesize
    formatreadabletimedelta fromunixtimestamp fromunixtimestamp64micro fromunixtimestamp64milli
    fromunixtimestamp64nano from_unixtime gcd greater greaterorequals greatest halfmd5 has hasall hasany
    hassubstr hastoken hex hour identity if ifnull indexof intdiv intdivorzero
    isfinite isinfinite isnan isnotnull isnull jsonextract jsonextractarrayraw jsonextractbool
    jsonextractfloat jsonextractint jsonextractkeys jsonextractkeysandvalues jsonextractraw
    jsonextractstring jsonextractuint jsonhas jsonlength jsontype json_exists json_query json_value
    isvalidjson simplejsonextractstring simplejsonextractint simplejsonhas lag
    laginframe lcase lcm lead leadinframe least left leftpad leftpadutf8 length lengthutf8 less
    lessorequals ln locate log log10 log2 lower lowerutf8 ltrim map mapcontains mapkeys mapvalues
    match md5 minus minute mod modulo month monthname multiif multimatchany multimatchanyindex
    multisearchany multisearchallpositions multiply negate ngramdistance ngramsearch normalizeutf8nfc
    notempty notequals notilike notlike now now64 nth_value ntile nullif parsedatetime
    parsedatetimebesteffort parsedatetimebesteffortornull parsedatetimebesteffortorzero
    parsedatetime64besteffort parsedatetime64besteffortornull path percent_rank pi plus pos position
    positioncaseinsensitive positioncaseinsensitiveutf8 positionutf8 pow power quarter range rank
    regexpextract regexpquotemeta reinterpretasuint64 repeat replace replaceall replaceone
    replaceregexpall replaceregexpone reverse reverseutf8 right rightpad rightpadutf8 round
    roundbankers roundtoexp2 row_number rtrim second sha1 sha256 sha512 sign sin siphash64 space
    splitbychar splitbynonalpha splitbyregexp splitbystring splitbywhitespace sqrt startswith
    siphash128 str_to_date substr substring substringindex substringutf8 subtractdays
    subtracthours subtractminutes subtractmonths subtractseconds subtractweeks subtractyears adddays
    addhours addminutes addmonths addseconds addweeks addyears tan timediff timestamp
    timestampadd timestampdiff timestampsub timeslot timeslots timezone tobool todate todate32
    todateornull todatetime todatetime64 todatetime64ornull todatetimeornull todayofmonth todayofweek
    todayofyear today tofixedstring tofloat32 tofloat64 tofloat64ornull tohour toint16 toint32 toint64
    toint64ornull toint8 tointervalday tointervalhour tointervalminute tointervalmonth
    tointervalsecond tointervalweek tointervalyear toisoweek toisoyear tolastdayofmonth tominute
    tomonday tomonth tonullable toquarter torelativedaynum torelativehournum torelativeminutenum
    tosecond tostartofday tostartoffifteenminutes tostartoffiveminutes tostartofhour tostartofinterval
    tostartofminute tostartofmonth tostartofquarter tostartofsecond tostartoftenminutes
    tostartofweek tostartofyear tostring tounixtimestamp tounixtimestamp64micro
    tounixtimestamp64milli tounixtimestamp64nano totime totimezone totypename touint16 touint32
    touint64 touint64ornull touint8 touuid toweek toyear toyearweek toyyyymm toyyyymmdd
    toyyyymmddhhmmss toutc_timestamp transform trim trimboth trimleft trimright trunc truncate tuple
    tupleelement ucase unhex upper upperutf8 week width_bucket xor xxhash64 year yesterday
    yyyymmddtodate
    """
)

_TYPES = words(
    """
    array bool boolean date date32 datetime datetime64 decimal decimal32 decimal64 decimal128 enum enum8
    enum16 fixedstring float32 float64 int8 int16 int32 int64 int128 int256 ipv4 ipv6 lowcardinality map
    nullable string text tuple uint8 uint16 uint32 uint64 uint128 uint256 uuid varchar interval
    """
)

_SYNTAX = words(
    """
    all and any anti array as asof between by case columns cross cube distinct else except exists filter from
    full global group having ilike in inner intersect interval is join left like limit not offset on or
    order outer over partition prewhere qualify replace right rollup rows select semi sets then union using
    when where with
    """
)
"""Keywords that may stand before a parenthesis."""


def may_precede_parenthesis(word: str) -> bool:
    """Tell whether a word that is not quoted may stand before `(`: as a function, a type or a keyword."""
    name = word.lower()
    return is_function(word) or name in _TYPES or name in _SYNTAX


def is_function(word: str) -> bool:
    """Tell whether a function may be called; an aggregate also with the combinators If, Array and so on."""
    name = word.lower()
    return name in _FUNCTIONS or _is_aggregate(name)


def _is_aggregate(name: str) -> bool:
    if name in _AGGREGATES:
        return True
    stems = (name.removesuffix(combinator) for combinator in _COMBINATORS if name.endswith(combinator))
    return any(_is_aggregate(stem) for stem in stems)
