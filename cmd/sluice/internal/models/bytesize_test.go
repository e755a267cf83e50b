package models

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"0": 0, "17": 17, "1KiB": 1 << 10, "512MiB": 512 << 20, "1GiB": 1 << 30, "1024MiB": 1 << 30, "3TiB": 3 << 40,
		"4Ki": 4 << 10, "512Mi": 512 << 20, "2Gi": 2 << 30, "1Ti": 1 << 40,
	} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
		var again byteSize
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "-1", "GiB", "1GB", "1G", "7B", "1GiBB", "1.5GiB", "1 GiB", "9223372036854775808", "9007199254740993KiB"} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
}
