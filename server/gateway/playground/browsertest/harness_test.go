package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	tab "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	shots = flag.String("shots", "", "folder for screenshots of failures and of docs/playground.md; empty: none are taken")

	binary  string          // the sluice under test
	browser context.Context // of the one Chromium; each test has a profile of its own in it
	address string          // of the HTTP of a server without options
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
	chromium, cancel := chromedp.NewContext(allocator)
	defer cancel()
	browser = chromium //nolint:fatcontext // to chromedp, a context is a browser
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintf(os.Stderr, "chromium: %v\n(Debian's package of that name is needed)\n", err)
		return 1
	}
	var stop func()
	if address, stop, err = start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	return m.Run()
}

// start starts a server with the default model and returns the address of its HTTP; stop ends it and waits for that.
func start(arguments ...string) (address string, stop func(), err error) {
	command := exec.Command(binary, append([]string{
		"serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--log-format", "json", "--drain-delay", "0s", "--drain-timeout", "1s",
	}, arguments...)...)
	stderr, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return "", nil, fmt.Errorf("start the server: %w", err)
	}
	lines := bufio.NewScanner(stderr)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		var record struct {
			HTTP string `json:"http_addr"`
		}
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.HTTP != "" {
			read := make(chan struct{})
			go func() {
				defer close(read)
				for lines.Scan() { //nolint:revive // so that the server can write on
				}
			}()
			return "http://" + record.HTTP, sync.OnceFunc(func() {
				_ = command.Process.Signal(syscall.SIGTERM)
				<-read
				_ = command.Wait()
			}), nil
		}
	}
	_ = command.Wait()
	return "", nil, fmt.Errorf("the server ended before it was ready (run `make setup`):\n%s", strings.Join(said, "\n"))
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
	ctx context.Context //nolint:containedctx // to chromedp, a context is a tab

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
		Source: witness,
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

// witness runs in the page before its own programs: it complains of violations of the policy, and keeps what was fetched and
// for how long timers were set.
const witness = `
addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));
window.fetched = [];
const original = window.fetch;
window.fetch = (path, options) => {
  window.fetched.push({ path, headers: options.headers, body: options.body && JSON.parse(options.body) });
  return original(path, options);
};
window.delays = []; // of timers, in milliseconds
const timer = window.setTimeout;
window.setTimeout = (then, delay, ...rest) => {
  window.delays.push(delay);
  return timer(then, delay, ...rest);
};
// generated is the last request for an answer.
Object.defineProperty(window, 'generated', { get: () => window.fetched.findLast(({ path }) => path.endsWith('/GenerateStream')) });
`

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
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool]("Boolean("+expression+")",
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

// enter presses the Enter key as a keyboard does, whose character does not come if the page takes the key.
func (p *page) enter(modifiers ...chromedp.Modifier) {
	p.t.Helper()
	key := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", Text: "\r", WindowsVirtualKeyCode: 13}
	for _, m := range modifiers {
		key.Modifiers |= int64(m)
	}
	call(p, input.DispatchKeyEvent, key)
	key.Type, key.Text = input.DispatchKeyEventTypeKeyUp, ""
	call(p, input.DispatchKeyEvent, key)
}

// point moves the mouse onto an element.
func (p *page) point(selector string) {
	p.t.Helper()
	at := value[struct{ X, Y float64 }](p, fmt.Sprintf(`(() => {
		const element = document.querySelector(%q);
		element.scrollIntoView({ block: 'center' });
		const box = element.getClientRects()[0];
		return { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
	})()`, selector))
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y))
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
	captured, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Error(err)
		return
	}
	picture, err := png.Decode(bytes.NewReader(captured))
	if err != nil {
		p.t.Error(err)
		return
	}
	// The colours of a page are few: a palette of the most used ones makes the file a third as large.
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, reduce(picture)); err != nil {
		p.t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), out.Bytes(), 0o600); err != nil {
		p.t.Error(err)
	}
}

// reduce draws a picture with its 256 most used colours; others become the nearest of them.
func reduce(picture image.Image) image.Image {
	counts := map[color.RGBA]int{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c, _ := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
			counts[c]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return counts[b] - counts[a] })
	var used color.Palette
	for _, c := range colours[:min(256, len(colours))] {
		used = append(used, c)
	}
	out := image.NewPaletted(bounds, used)
	draw.Draw(out, bounds, picture, bounds.Min, draw.Src)
	return out
}
