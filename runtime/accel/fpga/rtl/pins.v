// The matcher behind eleven pins, so that a small part has enough of them: what place and route measures the clock of. Every input comes from a register and every
// output goes into one.
module pins #(
  parameter BYTES = 8,
  parameter PATTERNS = 8,
  parameter LENGTH = 16,
  parameter DEPTH = 64
) (
  input  wire       clk,
  input  wire [7:0] in,
  input  wire [1:0] into, // 0 text, 1 flags, 2 load, 3 take what the matcher says
  output reg        out
);
  localparam SLOT = $clog2(PATTERNS);
  localparam COUNT = $clog2(BYTES + 1);
  localparam SAID = 36 + BYTES * PATTERNS;
  reg [7:0]          byte_in;
  reg [1:0]          byte_into;
  reg [8*BYTES-1:0]  text;
  reg [4:0]          flags;
  reg [COUNT-1:0]    count;
  reg [SLOT+10:0]    load;
  reg [SAID-1:0]     said;
  wire               ready, valid, last, lost;
  wire [31:0]        word;
  wire [BYTES*PATTERNS-1:0] hits;
  always @(posedge clk) begin
    byte_in   <= in;
    byte_into <= into;
    out       <= said[SAID-1];
    said      <= byte_into == 3 ? {ready, lost, valid, last, word, hits} : {said[SAID-2:0], 1'b0};
    case (byte_into)
      0: text <= {text[8*BYTES-9:0], byte_in};
      1: begin
        flags <= byte_in[4:0];
        count <= text[COUNT-1:0];
      end
      2: load <= {load[SLOT+2:0], byte_in};
      default: ;
    endcase
  end
  matcher #(
    .BYTES(BYTES),
    .PATTERNS(PATTERNS),
    .LENGTH(LENGTH),
    .DEPTH(DEPTH)
  ) placed (
    .clk(clk),
    .reset(flags[4]),
    .load_valid(load[SLOT+10]),
    .load_slot(load[SLOT+9:10]),
    .load_care(load[9]),
    .load_span(load[8]),
    .load_value(load[7:0]),
    .text_valid(flags[0]),
    .text_ready(ready),
    .text_first(flags[1]),
    .text_last(flags[2]),
    .text_count(count),
    .text_data(text),
    .result_valid(valid),
    .result_ready(flags[3]),
    .result_last(last),
    .result_word(word),
    .result_hits(hits),
    .lost(lost)
  );
endmodule
