// Package normalize changes text as the normalizers of Hugging Face tokenizers 0.23 do, and keeps track of where each
// byte of the result came from.
//
// Normal forms and lower case follow the reference's own tables (tables.txt, made by probe.py), which are those of
// Unicode 9 for the normal forms. Package golang.org/x/text/unicode/norm cannot stand in: it is some versions of
// Unicode younger, and it breaks runs of more than thirty marks by a joiner.
package normalize
