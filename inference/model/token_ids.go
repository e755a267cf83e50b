package model

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
)

// maxEndTokens is the limit of a model's end tokens.
const maxEndTokens = 1024

// tokenIDs is one token id or a list of them, as transformers writes eos_token_id. Null is none.
type tokenIDs []uint32

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (ids *tokenIDs) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case jsontext.KindNull:
		*ids = nil
		return dec.SkipValue()
	case jsontext.KindNumber:
		var id uint32
		if err := json.UnmarshalDecode(dec, &id); err != nil {
			return err
		}
		*ids = tokenIDs{id}
		return nil
	case jsontext.KindBeginArray:
		var list []uint32
		if err := json.UnmarshalDecode(dec, &list); err != nil {
			return err
		}
		if len(list) > maxEndTokens {
			return fmt.Errorf("%d token ids are over the limit of %d", len(list), maxEndTokens)
		}
		*ids = list
		return nil
	default:
		return errors.New("neither a token id nor a list of them")
	}
}

// MarshalJSONTo implements json.MarshalerTo: one id is a number, more are a list.
func (ids tokenIDs) MarshalJSONTo(enc *jsontext.Encoder) error {
	if len(ids) == 1 {
		return json.MarshalEncode(enc, ids[0])
	}
	return json.MarshalEncode(enc, []uint32(ids))
}
