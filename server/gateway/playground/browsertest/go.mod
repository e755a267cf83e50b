// A module of its own: what drives a browser has no place among what Sluice requires.
module github.com/sluiceml/sluice/server/gateway/playground/browsertest

go 1.27.0

require (
	github.com/chromedp/cdproto v0.160.1
	github.com/chromedp/chromedp v0.23.1
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
