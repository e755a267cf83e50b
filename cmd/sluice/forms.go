package main

import (
	"fmt"
	"strings"

	"github.com/sluiceml/sluice/inference/model/builder"
)

// formFlags say how weights are stored, besides --quantize.
type formFlags struct {
	Head       string   `name:"lm-head" help:"Form of the language model's head: int4, int8, fp16 or none. Default: int8 with --quantize int4, otherwise the same as the other weights." placeholder:"FORM"`
	Part       []string `help:"Form of one part of every layer, such as down_proj=int8: qkv_proj, o_proj, gate_up_proj, down_proj, attention or mlp." placeholder:"PART=FORM"`
	BlockSize  int      `help:"Number of values that share a scale in int4 and int8: 16, 32, 64 or 128." default:"32" placeholder:"N"`
	Asymmetric bool     `help:"Give every 4-bit block an offset as well as a scale."`
	Context    int      `help:"Shorten the model's context to this many tokens, and with it the tables of rotary angles. A model with LongRoPE uses the angles of its original, short context if the new one is no longer than that." placeholder:"TOKENS"`
	Method     string   `help:"How int4 rounds: gptq (by the activations that the calibration texts cause) or rtn (each weight to the nearest value; needs no texts)." enum:"gptq,rtn" default:"gptq" placeholder:"METHOD"`
}

// options are the builder's.
func (f *formFlags) options(quantize string) (builder.Options, error) {
	form, err := builder.ParseForm(quantize)
	if err != nil {
		return builder.Options{}, err
	}
	options := builder.Options{
		Quantize: form, Parts: map[builder.Part]builder.Form{}, BlockSize: f.BlockSize, Asymmetric: f.Asymmetric,
		ContextLength: f.Context,
		Method:        builder.Method(f.Method),
	}
	parts := f.Part
	if f.Head != "" {
		parts = append([]string{string(builder.PartHead) + "=" + f.Head}, parts...)
	}
	for _, s := range parts {
		name, form, ok := strings.Cut(s, "=")
		if !ok {
			return options, fmt.Errorf("--part %q is not PART=FORM", s)
		}
		options.Parts[builder.Part(name)] = builder.Form(form)
	}
	return options, options.Check()
}
