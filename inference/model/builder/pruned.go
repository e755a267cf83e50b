package builder

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/internal/mmap"
)

// prunedSource is a checkpoint with fewer layers and narrower feed-forward layers than another.
type prunedSource struct {
	model.Source

	spec   model.Spec
	layers []int                   // of the other, that are left
	cut    map[string]model.Tensor // of the feed-forward layers, by their names here
	file   *mmap.File              // that holds them
}

// Spec describes what is left.
func (s *prunedSource) Spec() model.Spec { return s.spec }

// Tensor finds a weight by its name in what is left.
func (s *prunedSource) Tensor(name string) (model.Tensor, bool) {
	if t, ok := s.cut[name]; ok {
		return t, true
	}
	layer := 0
	if n, err := fmt.Sscanf(name, "model.layers.%d.", &layer); n != 1 || err != nil {
		return s.Source.Tensor(name)
	}
	if layer >= len(s.layers) {
		return model.Tensor{}, false
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(name, "model.layers."), ".")
	t, ok := s.Source.Tensor(fmt.Sprintf("model.layers.%d.%s", s.layers[layer], rest))
	t.Name = name
	return t, ok
}

// Close closes the other source too.
func (s *prunedSource) Close() error {
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	return errors.Join(err, s.Source.Close())
}

// narrowParts are the weights of a feed-forward layer that its width shows in, as far as there are any.
func narrowParts() []string {
	return []string{"gate_proj.weight", "up_proj.weight", "gate_proj.bias", "up_proj.bias", "down_proj.weight"}
}

// narrow leaves channels in the feed-forward layers. The weights go through a file, so that they take no memory.
func (s *prunedSource) narrow(ctx context.Context, channels [][]int, scratch string) (err error) {
	file, err := os.CreateTemp(scratch, "pruned.*")
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name()), file.Close()) }() // the mapping outlives the name
	w := bufio.NewWriterSize(file, 1<<20)
	narrowed := map[string]model.Tensor{}
	for layer, kept := range channels {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, part := range narrowParts() {
			name := fmt.Sprintf("model.layers.%d.mlp.%s", layer, part)
			t, ok := s.Tensor(name)
			if !ok {
				continue
			}
			if strings.HasPrefix(part, "down") {
				t, err = cutColumns(w, t, kept)
			} else {
				t, err = cutRows(w, t, kept)
			}
			if err != nil {
				return err
			}
			narrowed[name] = t
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	if s.file, err = mmap.Open(file.Name()); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	// In the order in which they were written.
	rest := s.file.Bytes()
	for layer := range channels {
		for _, part := range narrowParts() {
			name := fmt.Sprintf("model.layers.%d.mlp.%s", layer, part)
			t, ok := narrowed[name]
			if !ok {
				continue
			}
			size, err := t.Type.Bytes(t.Shape)
			if err != nil || size > len(rest) {
				return fmt.Errorf("prune: %s: %w", name, errors.Join(err, errors.New("its bytes are not all there")))
			}
			t.Data, rest = rest[:size], rest[size:]
			narrowed[name] = t
		}
	}
	s.cut = narrowed
	return nil
}

// cutRows writes some rows of a tensor as they are stored, or some values of a vector.
func cutRows(w *bufio.Writer, t model.Tensor, rows []int) (model.Tensor, error) {
	if len(rows) > t.Shape[0] {
		return t, &TensorError{Name: t.Name, Reason: fmt.Sprintf("it has %d rows, too few to prune", t.Shape[0])}
	}
	if len(t.Shape) == 1 && t.Type.BlockSize() != 1 {
		return t, &TensorError{Name: t.Name, Reason: "a vector in blocks cannot be pruned"}
	}
	for _, r := range rows {
		if _, err := w.Write(rowData(t, r, 1)); err != nil {
			return t, fmt.Errorf("prune: %w", err)
		}
	}
	t.Shape = append([]int{len(rows)}, t.Shape[1:]...)
	t.Data = nil
	return t, nil
}

// cutColumns writes some columns of a matrix: numbers as they are stored, and values of blocks, which no longer begin where
// they did, as float32.
func cutColumns(w *bufio.Writer, t model.Tensor, columns []int) (model.Tensor, error) {
	values := make([]float32, t.Shape[1])
	size := t.Type.BlockBytes()
	plain := t.Type.BlockSize() == 1
	var bits [4]byte
	for r := range t.Shape[0] {
		row := rowData(t, r, 1)
		if !plain {
			if err := model.Dequantize(values, t.Type, row); err != nil {
				return t, err
			}
		}
		for _, c := range columns {
			var cell []byte
			if plain {
				cell = row[c*size : (c+1)*size]
			} else {
				binary.LittleEndian.PutUint32(bits[:], math.Float32bits(values[c]))
				cell = bits[:]
			}
			if _, err := w.Write(cell); err != nil {
				return t, fmt.Errorf("prune: %w", err)
			}
		}
	}
	if !plain {
		t.Type = model.F32
	}
	t.Shape = []int{t.Shape[0], len(columns)}
	t.Data = nil
	return t, nil
}
