// Drives the matcher in vvp, by the frames that simulate.cpp describes. Not synthesizable.
module simulate;
  parameter BYTES = 8;
  parameter PATTERNS = 8;
  parameter LENGTH = 16;
  parameter DEPTH = 64;
  localparam VERSION = 1;
  localparam HIT_WORDS = (BYTES * PATTERNS + 31) / 32;
  localparam STDIN = 32'h8000_0000;
  localparam STDOUT = 32'h8000_0001;
  localparam STDERR = 32'h8000_0002;
  // Bytes of one piece of a text; a word of it has at most one result.
  localparam PIECE = 65536;

  reg                         clk, reset, load_valid, load_care, load_span, text_valid, text_first, text_last, result_ready;
  reg  [$clog2(PATTERNS)-1:0] load_slot;
  reg  [7:0]                  load_value;
  reg  [$clog2(BYTES+1)-1:0]  text_count;
  reg  [8*BYTES-1:0]          text_data;
  wire                        text_ready, result_valid, result_last, lost;
  wire [31:0]                 result_word;
  wire [BYTES*PATTERNS-1:0]   result_hits;
  matcher #(
    .BYTES(BYTES),
    .PATTERNS(PATTERNS),
    .LENGTH(LENGTH),
    .DEPTH(DEPTH)
  ) driven (
    .clk(clk),
    .reset(reset),
    .load_valid(load_valid),
    .load_slot(load_slot),
    .load_value(load_value),
    .load_care(load_care),
    .load_span(load_span),
    .text_valid(text_valid),
    .text_ready(text_ready),
    .text_first(text_first),
    .text_last(text_last),
    .text_count(text_count),
    .text_data(text_data),
    .result_valid(result_valid),
    .result_ready(result_ready),
    .result_last(result_last),
    .result_word(result_word),
    .result_hits(result_hits),
    .lost(lost)
  );

  reg [7:0]              piece [0:PIECE-1];
  // A frame of `answered` words.
  reg [31:0]             answer [0:(PIECE/BYTES+DEPTH+8)*(2+HIT_WORDS)+2];
  reg [32*HIT_WORDS-1:0] hits;
  integer answered, c, n, at, left, every, length, clocks, waited, idle, clock;
  reg [7:0] operation, flags;
  reg is_given, is_over, is_accepted, is_taken;

  task fail(input integer why);
    begin
      $fwrite(STDERR, "failed: %0d (1 frame, 2 operation, 3 a result was lost, 4 the matcher is stuck)\n", why);
      $fflush(STDERR);
      $finish_and_return(1);
      // Ends at the end of this time step only.
      forever #1;
    end
  endtask

  task read_byte;
    begin
      c = $fgetc(STDIN);
      if (c < 0) begin
        $finish;
        forever #1;
      end
    end
  endtask

  task say;
    begin
      $fwrite(STDOUT, "%u", answered);
      for (n = 0; n < answered; n = n + 1) $fwrite(STDOUT, "%u", answer[n]);
      $fflush(STDOUT);
    end
  endtask

  task fall;
    begin
      clk = 0;
      #1;
    end
  endtask

  task rise;
    begin
      // What hangs on the inputs follows them before the edge.
      #1;
      clk = 1;
      #1;
    end
  endtask

  task load;
    begin
      if (length != 2 * PATTERNS * LENGTH) fail(1);
      for (n = 0; n < PATTERNS * LENGTH; n = n + 1) begin
        fall;
        load_valid = 1;
        load_slot  = n / LENGTH;
        load_value = piece[2*n];
        load_care  = piece[2*n+1][0];
        load_span  = piece[2*n+1][1];
        rise;
      end
      load_valid = 0;
      answer[0] = PATTERNS * LENGTH;
      answered  = 1;
      say;
    end
  endtask

  task search;
    begin
      answered = 2;
      clocks   = 0;
      waited   = 0;
      idle     = 0;
      at       = 0;
      is_over  = 0;
      is_given = length == 0 && !flags[1];
      if (flags[0]) clock = 0;
      while (!is_given || (flags[1] && !is_over)) begin
        fall;
        is_accepted = 0;
        is_taken    = 0;
        text_valid  = !is_given;
        if (!is_given) begin
          left       = length - at;
          text_count = left < BYTES ? left : BYTES;
          for (n = 0; n < BYTES; n = n + 1) text_data[8*n+:8] = n < left ? piece[at+n] : 8'd0;
          text_first  = flags[0] && at == 0;
          text_last   = flags[1] && left <= BYTES;
          is_accepted = text_ready;
          if (is_accepted) begin
            at       = left < BYTES ? length : at + BYTES;
            is_given = at == length;
          end else waited = waited + 1;
        end
        clock        = clock + 1;
        result_ready = clock % every == 0;
        if (result_ready && result_valid) begin
          is_taken           = 1;
          answer[answered]   = result_word;
          answer[answered+1] = result_last;
          hits               = result_hits;
          for (n = 0; n < HIT_WORDS; n = n + 1) answer[answered+2+n] = hits[32*n+:32];
          answered = answered + 2 + HIT_WORDS;
          if (result_last) is_over = 1;
        end
        rise;
        clocks = clocks + 1;
        idle   = is_accepted || is_taken ? 0 : idle + 1;
        if (lost) fail(3);
        if (idle > 65536 * (DEPTH + 8)) fail(4);
      end
      text_valid   = 0;
      result_ready = 0;
      answer[0]    = clocks;
      answer[1]    = waited;
      say;
    end
  endtask

  initial begin
    load_valid   = 0;
    text_valid   = 0;
    result_ready = 0;
    reset        = 1;
    for (n = 0; n < 4; n = n + 1) begin
      fall;
      rise;
    end
    reset = 0;
    forever begin
      read_byte;
      operation = c;
      read_byte;
      flags = c;
      read_byte;
      every = c;
      read_byte;
      every = every + 256 * c;
      if (every == 0) every = 1;
      length = 0;
      for (at = 0; at < 4; at = at + 1) begin
        read_byte;
        length = length + (c << (8 * at));
      end
      if (length < 0 || length > PIECE) fail(1);
      for (at = 0; at < length; at = at + 1) begin
        read_byte;
        piece[at] = c;
      end
      case (operation)
        1: begin
          answer[0] = VERSION;
          answer[1] = BYTES;
          answer[2] = PATTERNS;
          answer[3] = LENGTH;
          answer[4] = DEPTH;
          answered  = 5;
          say;
        end
        2: load;
        3: search;
        default: fail(2);
      endcase
    end
  end
endmodule
