package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The geometry of a chart, in the units of its view box.
const (
	chartWidth  = 560.0
	chartHeight = 260.0
	marginLeft  = 58.0
	marginRight = 14.0
	marginTop   = 12.0
	marginFoot  = 42.0
)

// chart is a plot of lines as the page's template draws it: every place is worked out here.
type chart struct {
	Title, XLabel, YLabel string
	Width, Height         float64
	Left, Right, Top, Foot,
	MiddleX, MiddleY, LabelY, TickY, TickX float64
	XTicks, YTicks []tick
	Lines          []line
	Text           string // the same for those who do not see it
}

type tick struct {
	At    string
	Label string
}

// line is a series of points; Class says its colour.
type line struct {
	Name, Class, Path string
	Dots              []dot
}

type dot struct{ X, Y, Text string }

// series are the points of a line.
type series struct {
	name string
	x, y []float64
}

// newChart lays out lines over axes that begin at zero. xs are the marks of the x axis; nil: round numbers. Lines of more
// than 40 points have no dots.
func newChart(title, xLabel, yLabel string, xs []float64, lines []series) chart {
	c := chart{
		Title: title, XLabel: xLabel, YLabel: yLabel, Width: chartWidth, Height: chartHeight,
		Left: marginLeft, Right: chartWidth - marginRight, Top: marginTop, Foot: chartHeight - marginFoot,
		LabelY: chartHeight - 6, TickY: chartHeight - marginFoot + 16, TickX: marginLeft - 6,
	}
	c.MiddleX, c.MiddleY = (c.Left+c.Right)/2, (c.Top+c.Foot)/2
	maxX, maxY := 0.0, 0.0
	for _, l := range lines {
		for i := range l.x {
			maxX, maxY = max(maxX, l.x[i]), max(maxY, l.y[i])
		}
	}
	yTicks := roundTicks(maxY)
	maxY = yTicks[len(yTicks)-1]
	if xs == nil {
		xs = slices.DeleteFunc(roundTicks(maxX), func(x float64) bool { return x > maxX })
	}
	if maxX <= 0 {
		maxX = 1
	}
	placeX := func(x float64) string { return coordinate(c.Left + x/maxX*(c.Right-c.Left)) }
	placeY := func(y float64) string { return coordinate(c.Foot - y/maxY*(c.Foot-c.Top)) }
	for _, y := range yTicks {
		c.YTicks = append(c.YTicks, tick{At: placeY(y), Label: strconv.FormatFloat(y, 'g', 6, 64)})
	}
	last := math.Inf(-1)
	for _, x := range xs {
		if at := x / maxX * (c.Right - c.Left); at-last >= 24 { // labels must not touch
			c.XTicks = append(c.XTicks, tick{At: placeX(x), Label: strconv.FormatFloat(x, 'g', 4, 64)})
			last = at
		}
	}
	var text strings.Builder
	for n, l := range lines {
		drawn := line{Name: l.name, Class: "line" + strconv.Itoa(n)}
		var path strings.Builder
		for i := range l.x {
			fmt.Fprintf(&path, "%c%s %s", "ML"[min(i, 1)], placeX(l.x[i]), placeY(l.y[i]))
			if len(l.x) <= 40 {
				label := fmt.Sprintf("%s at %s: %s", l.name, strconv.FormatFloat(l.x[i], 'g', 6, 64), figure(l.y[i]))
				drawn.Dots = append(drawn.Dots, dot{X: placeX(l.x[i]), Y: placeY(l.y[i]), Text: label})
				text.WriteString(label + ". ")
			}
		}
		drawn.Path = path.String()
		c.Lines = append(c.Lines, drawn)
	}
	c.Text = strings.TrimSpace(title + ". " + text.String())
	return c
}

func coordinate(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// roundTicks are about five round numbers from 0 to no less than limit.
func roundTicks(limit float64) []float64 {
	if limit <= 0 || math.IsInf(limit, 0) || math.IsNaN(limit) {
		return []float64{0, 1}
	}
	unit := math.Pow(10, math.Floor(math.Log10(limit/5)))
	step := unit
	for _, factor := range []float64{2, 5, 10} {
		if limit/step > 6 {
			step = unit * factor
		}
	}
	ticks := []float64{0}
	for i := 1; ticks[len(ticks)-1] < limit; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}
