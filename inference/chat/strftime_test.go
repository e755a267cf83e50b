package chat

import (
	"testing"
	"time"
)

// TestStrftime has what Python 3.11's datetime.strftime gives for the format, in the C locale.
func TestStrftime(t *testing.T) {
	const format = "%a|%A|%b|%B|%h|%d|%e|%m|%y|%Y|%H|%I|%M|%S|%p|%j|%c|%x|%X|%D|%F|%T|%R|%%|%f|%w|%u|%U|%W|%V|%z|%Z|%-d|%-m|%-H|%-I|%-j"
	tests := []struct {
		time time.Time
		want string
	}{
		{
			time.Date(2026, 3, 7, 9, 5, 4, 123456000, time.UTC),
			"Sat|Saturday|Mar|March|Mar|07| 7|03|26|2026|09|09|05|04|AM|066|Sat Mar  7 09:05:04 2026|03/07/26|09:05:04|03/07/26|2026-03-07|09:05:04|09:05|%|123456|6|6|09|09|10|||7|3|9|9|66",
		},
		{
			time.Date(2024, 12, 30, 23, 59, 59, 0, time.UTC),
			"Mon|Monday|Dec|December|Dec|30|30|12|24|2024|23|11|59|59|PM|365|Mon Dec 30 23:59:59 2024|12/30/24|23:59:59|12/30/24|2024-12-30|23:59:59|23:59|%|000000|1|1|52|53|01|||30|12|23|11|365",
		},
		{
			time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC),
			"Sun|Sunday|Jan|January|Jan|01| 1|01|23|2023|00|12|00|00|AM|001|Sun Jan  1 00:00:00 2023|01/01/23|00:00:00|01/01/23|2023-01-01|00:00:00|00:00|%|000000|0|7|01|00|52|||1|1|0|12|1",
		},
	}
	for _, test := range tests {
		if got := strftime(format, test.time); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	if got := strftime("%Q %", time.Time{}); got != "%Q %" {
		t.Errorf("unknown directives: %q", got)
	}
}
