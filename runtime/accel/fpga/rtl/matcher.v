// Literals in a stream of bytes: BYTES of text a clock, PATTERNS literals of up to LENGTH bytes, every place of each.
//
// A literal is compared as it ends: each of the BYTES places of a word is the possible end of each literal, and the LENGTH - 1 bytes before the word are kept, so that
// a match may begin in an earlier one. Three registers deep (window, miss, hits), a word every clock. What a word has of matches is one result; the last word of a text
// has one in any case. A word is taken only while all that is under way could be results: the queue cannot overflow, whatever the reader does.
module matcher #(
  parameter BYTES = 8,
  parameter PATTERNS = 8,
  parameter LENGTH = 16,
  parameter DEPTH = 64 // results that wait, a power of two from 8
) (
  input  wire                        clk,
  input  wire                        reset,
  // A literal is LENGTH loads into its slot, its last byte last; before its first byte come loads without `span`. Only between texts.
  input  wire                        load_valid,
  input  wire [$clog2(PATTERNS)-1:0] load_slot,
  input  wire [7:0]                  load_value,
  input  wire                        load_care, // 0: any byte matches
  input  wire                        load_span, // 1: a byte of the literal, which must lie in the text
  // A word: the byte of place k in bits 8k + 7 to 8k, `text_count` of them; fewer than BYTES only with `text_last`.
  input  wire                        text_valid,
  output wire                        text_ready,
  input  wire                        text_first,
  input  wire                        text_last,
  input  wire [$clog2(BYTES+1)-1:0]  text_count,
  input  wire [8*BYTES-1:0]          text_data,
  // A match of the literal in slot p that ends at place e of the word: bit e * PATTERNS + p.
  output wire                        result_valid,
  input  wire                        result_ready,
  output wire                        result_last,
  output wire [31:0]                 result_word,
  output wire [BYTES*PATTERNS-1:0]   result_hits,
  // A result came when there was no room for it. Stays until the reset.
  output reg                         lost
);
  localparam WINDOW = LENGTH - 1 + BYTES;
  localparam LEVEL = $clog2(DEPTH + 2);
  // Words that can be on their way into the queue: three registers, and the one that is being taken.
  localparam UNDER_WAY = 4;

  // Place 0 of a slot is the last byte of its literal.
  reg [8*LENGTH-1:0] value [0:PATTERNS-1];
  reg [LENGTH-1:0]   care  [0:PATTERNS-1];
  reg [LENGTH-1:0]   span  [0:PATTERNS-1];
  integer s;
  always @(posedge clk)
    for (s = 0; s < PATTERNS; s = s + 1)
      if (reset) span[s] <= 0;
      else if (load_valid && load_slot == s[$clog2(PATTERNS)-1:0]) begin
        value[s] <= {value[s][8*LENGTH-9:0], load_value};
        care[s]  <= {care[s][LENGTH-2:0], load_care};
        span[s]  <= {span[s][LENGTH-2:0], load_span};
      end

  wire [LEVEL-1:0] used;
  assign text_ready = used <= DEPTH[LEVEL-1:0] - UNDER_WAY;
  wire accepted = text_valid && text_ready;

  reg              window_valid, window_last;
  reg [31:0]       window_word;
  reg [8*WINDOW-1:0] window;
  // Which bytes of the window are the text's.
  reg [WINDOW-1:0] present;
  wire [BYTES-1:0] arriving;
  genvar k;
  generate
    for (k = 0; k < BYTES; k = k + 1) begin : counted
      assign arriving[k] = k < text_count;
    end
  endgenerate
  always @(posedge clk) begin
    window_valid <= accepted && !reset;
    if (accepted) begin
      window_last <= text_last;
      window_word <= text_first ? 0 : window_word + 1;
      window      <= {text_data, window[8*WINDOW-1:8*BYTES]};
      present     <= {arriving, text_first ? {(LENGTH - 1){1'b0}} : present[WINDOW-1:BYTES]};
    end
  end

  reg                             miss_valid, miss_last;
  reg [31:0]                      miss_word;
  reg [BYTES-1:0]                 miss_present;
  reg [BYTES*PATTERNS*LENGTH-1:0] miss;
  reg                             hit_valid, hit_last;
  reg [31:0]                      hit_word;
  reg [BYTES*PATTERNS-1:0]        hits;
  genvar e, p, i;
  generate
    for (e = 0; e < BYTES; e = e + 1) begin : ends
      for (p = 0; p < PATTERNS; p = p + 1) begin : slots
        for (i = 0; i < LENGTH; i = i + 1) begin : places
          always @(posedge clk)
            miss[(e * PATTERNS + p) * LENGTH + i] <=
              (span[p][i] && !present[LENGTH - 1 + e - i]) || (care[p][i] && window[8 * (LENGTH - 1 + e - i) +: 8] != value[p][8 * i +: 8]);
        end
        // A slot whose last byte is of no literal is empty.
        always @(posedge clk) hits[e * PATTERNS + p] <= miss_present[e] && span[p][0] && miss[(e * PATTERNS + p) * LENGTH +: LENGTH] == 0;
      end
    end
  endgenerate
  always @(posedge clk) begin
    miss_valid   <= window_valid && !reset;
    miss_last    <= window_last;
    miss_word    <= window_word;
    miss_present <= present[WINDOW-1:LENGTH-1];
    hit_valid    <= miss_valid && !reset;
    hit_last     <= miss_last;
    hit_word     <= miss_word;
  end

  wire write = hit_valid && (hit_last || hits != 0);
  always @(posedge clk) lost <= !reset && (lost || (write && used > DEPTH[LEVEL-1:0]));
  results #(
    .WIDTH(33 + BYTES * PATTERNS),
    .DEPTH(DEPTH)
  ) queue (
    .clk(clk),
    .reset(reset),
    .write(write),
    .in({hit_last, hit_word, hits}),
    .used(used),
    .valid(result_valid),
    .ready(result_ready),
    .out({result_last, result_word, result_hits})
  );
endmodule
