package eval

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"strings"
)

//go:embed page.html
var pageTemplate string

// The geometry of the picture, in the units of its view box.
const (
	pictureWidth, pictureHeight = 720.0, 380.0
	pictureLeft, pictureRight   = 70.0, 690.0
	pictureTop, pictureFoot     = 24.0, 330.0
)

// picture is a plot of quality against speed: up and to the right is better.
type picture struct {
	Width, Height          float64
	Left, Right, Top, Foot float64
	XTicks, YTicks         []mark
	Points                 []point
}

type mark struct {
	At    float64
	Label string
}

type point struct {
	X, Y, Radius, LabelX, LabelY float64
	Anchor, Label, Text          string
}

// WritePicture prints a plot of the models' perplexity against their tokens a second as SVG, with discs of the size of
// their folders. Models that lack one of the two are left out.
func (r *Report) WritePicture(w io.Writer) error { return r.execute(w, "svg", newPicture(r)) }

// WritePage prints the picture and the table as one page that needs nothing else.
func (r *Report) WritePage(w io.Writer) error {
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		return err
	}
	return r.execute(w, "page", struct {
		*Report
		Picture picture
		Table   string
	}{r, newPicture(r), table.String()})
}

func (r *Report) execute(w io.Writer, name string, data any) error {
	parsed, err := template.New("").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	if err := parsed.ExecuteTemplate(w, name, data); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// newPicture lays the picture out.
func newPicture(r *Report) picture {
	p := picture{Width: pictureWidth, Height: pictureHeight, Left: pictureLeft, Right: pictureRight, Top: pictureTop, Foot: pictureFoot}
	var fastest, least, most float64
	var largest int64
	var shown []*Result
	for i := range r.Models {
		m := &r.Models[i]
		if m.Quality == nil || m.Speed == nil || !(m.Quality.Perplexity < math.Inf(1)) {
			continue
		}
		shown = append(shown, m)
		if len(shown) == 1 || m.Quality.Perplexity < least {
			least = m.Quality.Perplexity
		}
		most, fastest, largest = max(most, m.Quality.Perplexity), max(fastest, m.Speed.TokensPerSecond), max(largest, m.DiskBytes)
	}
	if len(shown) == 0 {
		return p
	}
	room := max(0.01*least, (most-least)/10)
	low, high := least-room, most+room
	step := roundStep(fastest * 1.1)
	right := step * math.Ceil(fastest*1.1/step)
	for x := 0.0; x <= right; x += step {
		p.XTicks = append(p.XTicks, mark{p.Left + x/right*(p.Right-p.Left), fmt.Sprintf("%g", x)})
	}
	// Less perplexity is better, and better is up.
	place := func(perplexity float64) float64 { return p.Top + (perplexity-low)/(high-low)*(p.Foot-p.Top) }
	step = roundStep(high - low)
	for y := math.Ceil(low/step) * step; y <= high; y += step {
		p.YTicks = append(p.YTicks, mark{place(y), fmt.Sprintf("%.4g", y)})
	}
	for _, m := range shown {
		dot := point{
			X: p.Left + m.Speed.TokensPerSecond/right*(p.Right-p.Left), Y: place(m.Quality.Perplexity),
			Radius: 4 + 12*math.Sqrt(float64(m.DiskBytes)/float64(max(1, largest))), Anchor: "start", Label: filepath.Base(m.Path),
			Text: fmt.Sprintf("%s: perplexity %.3f, %.1f tokens/s, %.0f MB", m.Path, m.Quality.Perplexity, m.Speed.TokensPerSecond, float64(m.DiskBytes)/1e6),
		}
		dot.LabelX, dot.LabelY = dot.X+dot.Radius+4, dot.Y+4
		if dot.X > (p.Left+p.Right)*0.7 {
			dot.Anchor, dot.LabelX = "end", dot.X-dot.Radius-4
		}
		p.Points = append(p.Points, dot)
	}
	return p
}

// roundStep divides a length by some five round numbers.
func roundStep(length float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(length/5)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*power*5 >= length {
			return m * power
		}
	}
	return 10 * power
}
