package browsertest

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	tab "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	shots = flag.String("shots", "", "folder for screenshots; empty: none are taken")

	binary  string          // the sluice under test
	browser context.Context // of the one Chromium; each test has a profile of its own in it
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sluice-playground-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "sluice")
	build := exec.Command("go", "build", "-o", binary, "./cmd/sluice")
	build.Dir = filepath.Join("..", "..", "..", "..")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, output)
		return 1
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("lang", "en-US"))
	if os.Geteuid() == 0 { // Chromium's sandbox is not for root, and this browser sees nothing but our own page
		options = append(options, chromedp.NoSandbox)
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	browser, cancel = chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintf(os.Stderr, "chromium: %v\n(Debian's package of that name is needed)\n", err)
		return 1
	}
	return m.Run()
}

// serve starts the server with the default model and returns the address of its HTTP.
func serve(t *testing.T, arguments ...string) string {
	t.Helper()
	command := exec.Command(binary, append([]string{
		"serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--log-format", "json", "--drain-delay", "0s", "--drain-timeout", "1s",
	}, arguments...)...)
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	lines := bufio.NewScanner(stderr)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		var record struct {
			HTTP string `json:"http_addr"`
		}
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.HTTP != "" {
			go func() {
				for lines.Scan() { // so that the server can write on
				}
			}()
			return "http://" + record.HTTP
		}
	}
	t.Fatalf("the server ended before it was ready (run `make setup`):\n%s", strings.Join(said, "\n"))
	return ""
}

// desktop and phone are sizes of screens.
var (
	desktop = size{width: 1280, height: 860, scale: 1}
	phone   = size{width: 390, height: 844, scale: 2, touch: true}
)

type size struct {
	width, height int64
	scale         float64
	touch         bool
}

// page is the playground in a tab. When the test ends it must have had no error on its console, no violation of its
// policy and no request to another origin.
type page struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	expected []string // parts of complaints that the test brings about
	faults   []string
}

// open opens the page at an address.
func open(t *testing.T, address string, screen size) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx}
	own, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, func(event any) { p.listen(own, event) }); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	call(p, log.Enable, cdp.Empty{})
	call(p, tab.AddScriptToEvaluateOnNewDocument, tab.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample))`,
	})
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: screen.width, Height: screen.height, DeviceScaleFactor: screen.scale, Mobile: screen.touch,
	})
	call(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: screen.touch})
	p.colours("light")
	p.do(chromedp.Navigate(address))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			if !p.isExpected(fault) {
				t.Errorf("the page complains: %s", fault)
			}
		}
	})
	return p
}

func (p *page) isExpected(fault string) bool {
	for _, part := range p.expected {
		if strings.Contains(fault, part) {
			return true
		}
	}
	return false
}

// expect says that a complaint with this part in it is what the test is about.
func (p *page) expect(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, part)
}

func (p *page) listen(own *url.URL, event any) {
	fault := ""
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = fmt.Sprintf("exception: %+v", event.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if event.Type == runtime.ConsoleAPICalledTypeError || event.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, argument := range event.Args {
				fault += fmt.Sprintf("console: %s %s", argument.Value, argument.Description)
			}
		}
	case *log.EventEntryAdded:
		if event.Entry.Level == log.EntryLevelError || event.Entry.Level == log.EntryLevelWarning {
			fault = fmt.Sprintf("log: %s %s", event.Entry.Text, event.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		to, err := url.Parse(event.Request.URL)
		if err != nil || to.Host != own.Host {
			fault = "request to " + event.Request.URL
		}
		if strings.Contains(event.Request.URL, "sk-") || strings.Contains(event.Request.URL, "?") {
			fault = "an address with more than a path: " + event.Request.URL
		}
	}
	if fault != "" {
		p.mu.Lock()
		p.faults = append(p.faults, fault)
		p.mu.Unlock()
	}
}

// do runs actions, which must succeed.
func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.fail(err)
	}
}

// call makes a call of the browser's protocol.
func call[P, R any](p *page, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, command, params); err != nil {
		p.fail(err)
	}
}

// fail ends the test and shows what the page shows.
func (p *page) fail(err error) {
	p.t.Helper()
	p.shot(p.t.Name() + "-failed")
	p.t.Fatalf("%v\n%s", err, value[string](p, `document.body.innerText`))
}

// await waits until an expression of JavaScript is true.
func (p *page) await(expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression,
		chromedp.WithPollingTimeout(time.Minute), chromedp.WithPollingInterval(20*time.Millisecond)))
	if err != nil {
		p.fail(fmt.Errorf("%s: %w", expression, err))
	}
}

// value evaluates an expression of JavaScript; of a promise it takes what that gives.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return out
}

// text is what an element shows.
func (p *page) text(selector string) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

// click presses the mouse on an element.
func (p *page) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// fill replaces the text of a field by one that is typed.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	value[string](p, fmt.Sprintf(`document.querySelector(%q).value = ''`, selector))
	p.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// key presses keys.
func (p *page) key(keys string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
}

// ended waits until an answer has been made.
func (p *page) ended() {
	p.t.Helper()
	p.await(`document.querySelector('.answer') && !document.querySelector('.answer.running')`)
}

// colours sets what the system prefers: light or dark.
func (p *page) colours(scheme string) {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

// shot takes a screenshot, if those are wanted.
func (p *page) shot(name string) {
	if *shots == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name+".png"), picture, 0o600)
	}
	if err != nil {
		p.t.Error(err)
	}
}
